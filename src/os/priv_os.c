/*
 * priv_os.c - see priv_os.h. A list of what is forbidden, not of what is allowed: the libraries below us call
 * what they like in a new release, and a list that is too short would kill a healthy worker.
 */
#include "os/priv_os.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "os/log_os.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define FOREIGN_CALLS 0x40000000u	/* x32: the same calls by other numbers */
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define FOREIGN_CALLS 0x80000000u
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#undef ARCH				/* they fork and trace at the end */
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#undef ARCH
#endif
#endif

#ifdef ARCH
#define FILTER_MAX 256

static const int forbidden[] = {
	/* other programs, other processes */
	SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kill, SYS_tkill,
	SYS_pidfd_send_signal, SYS_pidfd_getfd, SYS_kcmp,
#ifdef SYS_fork
	SYS_fork, SYS_vfork,
#endif
	/* who we are */
	SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid, SYS_setfsgid,
	SYS_setgroups, SYS_capset, SYS_setns, SYS_unshare, SYS_chroot, SYS_personality,
	/* the machine */
	SYS_mount, SYS_umount2, SYS_pivot_root, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsmount, SYS_fspick,
	SYS_swapon, SYS_swapoff, SYS_reboot, SYS_kexec_load, SYS_init_module, SYS_finit_module, SYS_delete_module,
	SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex,
	SYS_acct, SYS_syslog, SYS_quotactl, SYS_vhangup,
#ifdef SYS_iopl
	SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
	/* parts of the kernel with a long history of holes that we have no use for */
	SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_io_uring_setup,
	SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_fanotify_init,
	/* a door of our own */
	SYS_listen,
};

struct program {
	struct sock_filter v[FILTER_MAX];
	unsigned n;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	must(p->n < FILTER_MAX);
	p->v[p->n++] = (struct sock_filter){ code, jt, jf, k };
}

static void load(struct program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void ret(struct program *p, uint32_t what)
{
	emit(p, BPF_RET | BPF_K, what, 0, 0);
}

static void forbid(struct program *p, int call)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
	ret(p, SECCOMP_RET_TRAP);
}

/* The low word of the first argument is loaded by what follows; every path ends in a return. */
static void for_call(struct program *p, int call, uint8_t instructions)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, (uint8_t)(instructions + 1));
	load(p, offsetof(struct seccomp_data, args[0]));
}

static void build(struct program *p, unsigned rights)
{
	load(p, offsetof(struct seccomp_data, arch));
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	ret(p, SECCOMP_RET_KILL_PROCESS);
	load(p, offsetof(struct seccomp_data, nr));
	emit(p, BPF_JMP | BPF_JGE | BPF_K, FOREIGN_CALLS, 0, 1);
	ret(p, SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
		forbid(p, forbidden[i]);
	if (!(rights & PRIV_ACCEPT)) {
		forbid(p, SYS_accept4);
#ifdef SYS_accept
		forbid(p, SYS_accept);
#endif
	}
	if (!(rights & PRIV_INET))
		forbid(p, SYS_bind);
	/* Threads yes, processes no. The flags of clone3 lie in memory that a filter cannot read: the C
	 * library takes clone when there is none. */
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
	ret(p, SECCOMP_RET_ERRNO | ENOSYS);
	for_call(p, SYS_clone, 3);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1);
	ret(p, SECCOMP_RET_ALLOW);
	ret(p, SECCOMP_RET_TRAP);
	if (!(rights & PRIV_INET)) {
		for_call(p, SYS_socket, 3);
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 1);
		ret(p, SECCOMP_RET_ALLOW);
		ret(p, SECCOMP_RET_TRAP);
	}
	ret(p, SECCOMP_RET_ALLOW);
}

static char confined[32];

static void on_violation(int signo, siginfo_t *si, void *context)
{
	(void)context;
	log_os_from_signal(confined, "a forbidden system call was tried; the process ends", "number ",
			   (unsigned)si->si_syscall);
	signal(signo, SIG_DFL);
	raise(signo);
}

static int filter(const char *who, unsigned rights)
{
	struct sigaction sa = { .sa_sigaction = on_violation, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct program p = { .n = 0 };
	struct sock_fprog prog;

	snprintf(confined, sizeof confined, "%s", who);
	build(&p, rights);
	prog = (struct sock_fprog){ (unsigned short)p.n, p.v };
	sigaction(SIGSYS, &sa, NULL);
	/* SPEC_ALLOW: the filter is no boundary inside this process; without it every branch gets slower. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog) == 0)
		return OK;
	return errno == EINVAL || errno == ENOSYS ? E_VERSION : E_PERM;
}
#else
static int filter(const char *who, unsigned rights)
{
	(void)who;
	(void)rights;
	return E_VERSION;
}
#endif

/* Root keeps what lets it reach its files; everybody else has nothing anyhow. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	uint32_t keep = 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER;

	if (syscall(SYS_capget, &head, data) != 0)
		return E_PERM;
	for (int i = 0; i < 2; i++) {
		data[i].effective &= i == 0 ? keep : 0;
		data[i].permitted &= i == 0 ? keep : 0;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) == 0 ? OK : E_PERM;
}

int priv_confine(const char *who, unsigned rights)
{
	if (drop_capabilities() != OK || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return E_PERM;
	return filter(who, rights);
}
