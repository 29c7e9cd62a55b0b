"""Target tasks: cases, their division by patient, and the arrays that models take."""
