noinst_HEADERS += %D%/disk.h %D%/lock.h %D%/clock.h %D%/net.h %D%/loop.h %D%/bell.h %D%/work.h %D%/hash.h
