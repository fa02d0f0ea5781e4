"""The questions that every quantizer must answer, asked by the tests and by ``qcodec check``."""
