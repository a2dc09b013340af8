/* Stands in the environment where the dynamic loader should be. Whatever program of the host is started with it says so.
 * No C library: it runs before one could be set up. */
static long call(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return result;
#else
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#endif
}
#if defined(__x86_64__)
enum { WRITE = 1, EXIT = 60, READLINKAT = 267, OPENAT = 257 };
#else
enum { WRITE = 64, EXIT = 93, READLINKAT = 78, OPENAT = 56 };
#endif

void _start(void)
{
	static char name[512];
	call(WRITE, 1, (long)"LOADED ", 7, 0);
	long n = call(READLINKAT, -100, (long)"/proc/self/exe", (long)name, sizeof name);
	if (n > 0)
		call(WRITE, 1, (long)name, n, 0);
	if (call(OPENAT, -100, (long)"/proc/self/exe", 0, 0) >= 0)
		call(WRITE, 1, (long)", which can be read", 19, 0);
	if (call(OPENAT, -100, (long)"/proc/self/exe", 2, 0) >= 0)
		call(WRITE, 1, (long)" and written", 12, 0);
	call(WRITE, 1, (long)"\n", 1, 0);
	call(EXIT, 0, 0, 0, 0);
}
