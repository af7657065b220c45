# Record batches and codecs. libcodec.a is the one library that includes zlib, lz4, zstd and snappy.
noinst_HEADERS += %D%/batch.h %D%/codec.h src/part/batch_in.h
