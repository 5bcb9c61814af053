"""YouTube-8M: its shards read, checked, sampled, converted and imitated, without TensorFlow.

records, messages, video   TFRecord files, the protobuf messages in them, and one record as a video, or what is wrong with it
check, index, cache        every record judged; where every record lies, found from the heads alone, and remembered
settings, sampling, plan   how shards are read; which frames are taken; the order of an epoch from a seed
batch, pool, worker        the arrays of a batch, and the processes that fill them
sources, pickled, converted   what videos are read from: records, PaddlePaddle's pickles, converted folders
where, open, reader        finding a data set, and opening it for training, evaluation and inference
show, synthesize           behind the commands
"""
