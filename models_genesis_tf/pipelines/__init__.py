"""tf.data streams."""
