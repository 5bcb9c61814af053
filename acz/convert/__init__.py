"""Weights from other systems and to other frameworks' own files.

files          which kind of file it is, and its arrays, by name where it has names
contents       what a file holds
messages       the protobuf messages in files of three frameworks
tensorflow     TensorFlow's checkpoints
sorted_table   the tables that their lists of variables are
table          names of a system beside paths of the spec, and what fits
systems/       one file a system: its tables, what is optimiser's in its files, what is made up for
sizes          the --set words that would make a model fit a file
incoming       a system's file to a checkpoint
outgoing       a checkpoint to a framework's own file, read back before it is kept
"""
