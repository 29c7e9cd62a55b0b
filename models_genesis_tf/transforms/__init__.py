"""The four transforms of Models Genesis, the flips, and the pairs made of them."""
