"""The Descript Audio Codec (DAC)."""
