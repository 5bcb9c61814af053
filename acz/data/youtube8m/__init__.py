"""YouTube-8M: reading, checking, sampling, converting and imitating its shards, without TensorFlow.

dataset, location   the data set as the registry knows it, and its files
settings            the settings of its reading
shards              the files on disk: records, messages, videos, their index and its cache
reading             batches: the order of an epoch, the sampling of frames, the processes that read
making              conversion to mapped arrays, and synthesis
"""
