"""Which files are audio."""

# By their ending, in lower case: the formats that libsndfile reads and people keep recordings in.
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")
