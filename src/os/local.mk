noinst_LIBRARIES += src/os/libos.a
src_os_libos_a_SOURCES = %D%/loop_os.c %D%/loop_os.h %D%/clock_os.c %D%/clock_os.h \
	%D%/lock_os.c %D%/lock_os.h %D%/disk_os.c %D%/disk_os.h %D%/net_os.c %D%/net_os.h %D%/net_in_os.h %D%/net_open_os.c %D%/net_guard_os.c %D%/listen_os.c %D%/listen_os.h %D%/frames_os.c %D%/frames_os.h \
	%D%/http_os.c %D%/http_os.h %D%/shm_os.c %D%/shm_os.h \
	%D%/log_os.c %D%/log_os.h %D%/proc_os.c %D%/proc_os.h %D%/priv_os.c %D%/priv_os.h %D%/work_os.c %D%/work_os.h %D%/hash_os.c %D%/hash_os.h %D%/tls_os.c %D%/tls_os.h %D%/cert_os.c %D%/cert_os.h
src_os_libos_a_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) $(SSL_CFLAGS)
OS_LIBS = src/os/libos.a $(EVENT_LIBS) $(SSL_LIBS)
