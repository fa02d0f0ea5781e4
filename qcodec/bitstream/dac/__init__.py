"""Files of codes of the program `dac`."""
