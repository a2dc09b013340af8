/* Stands in the environment where libraries, name service modules and character sets of the host are looked for. */
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
	if (write(1, "LOADED library\n", 15) < 0)
		_exit(1);
}

int gconv_init(void *step) { return step != 0; }
int gconv(void) { return 1; }
