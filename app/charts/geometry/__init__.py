"""Charts of the studies: numbers of a finding in, figures out."""
