"""Rate and distortion of codecs on recordings."""
