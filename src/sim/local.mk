noinst_LIBRARIES += src/sim/libsim.a
src_sim_libsim_a_SOURCES = %D%/sim.c %D%/sim.h %D%/sim_disk.c %D%/sim_disk.h %D%/sim_fs.c %D%/sim_fs.h \
	%D%/sim_lock.c %D%/sim_lock.h %D%/sim_net.c %D%/sim_net.h
PURE_LIBS += src/sim/libsim.a
