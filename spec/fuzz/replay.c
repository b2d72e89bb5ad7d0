/* SPDX-License-Identifier: MIT
 *
 * A target without a fuzzer: replay DIRECTORY… has each file there once. Prints how many there were.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static unsigned replay(const char *dir)
{
	static uint8_t bytes[1 << 20];
	char path[4096];
	DIR *d = opendir(dir);
	unsigned n = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "rb");

		if (!f)
			continue;
		size_t size = fread(bytes, 1, sizeof(bytes), f);

		(void)fclose(f);
		/* Who breaks is the last to be named: what is written to a pipe must go at once. */
		(void)setvbuf(stderr, NULL, _IONBF, 0);
		fprintf(stderr, "%s\n", path);
		(void)LLVMFuzzerTestOneInput(bytes, size);
		n++;
	}
	if (d)
		(void)closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	(void)LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		n += replay(argv[i]);
	printf("%u inputs\n", n);
	return n == 0;
}
