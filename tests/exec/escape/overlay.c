/* Layers below the root: never written, never redirected, and the store is nowhere. The host looks at them afterwards. */
#include "probe.h"
#include <sys/mman.h>
#include <sys/xattr.h>
#define GROUP "overlay"

static void make(const char *path)
{
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
}

static void try_attribute(const char *name, const char *value)
{
	make("/tmp/marked");
	mkdir("/tmp/marked-folder", 0755);
	int failed = setxattr("/tmp/marked", name, value, strlen(value), 0);
	failed &= setxattr("/tmp/marked-folder", name, value, strlen(value), 0);
	if (failed)
		refused();
	attempted("%s was taken", name);
}

#define ATTRIBUTE(name, value) \
	PROBE(user_##name, "outside", "user.overlay." #name " of a file inside means the same to the overlay") { try_attribute("user.overlay." #name, value); }
ATTRIBUTE(redirect, "/../../../../etc")
ATTRIBUTE(opaque, "y")
ATTRIBUTE(metacopy, "")
ATTRIBUTE(whiteout, "")
ATTRIBUTE(origin, "x")

PROBE(trusted_redirect, "outside", "trusted.overlay.redirect can be set")
{
	make("/tmp/marked");
	judge_success(setxattr("/tmp/marked", "trusted.overlay.redirect", "/x", 2, 0), "it was");
}

PROBE(whiteout_node, "outside", "a 0:0 character device made inside hides a file of a layer")
{
	if (mknod("/layer-whiteout", S_IFCHR, 0))
		refused();
	attempted("made");
}

PROBE(write_layer_file, "outside", "a file of a layer is changed by writing")
{
	int fd = open("/layer/file", O_RDWR | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, "EVIL", 4, 0) != 4)
		refused();
	attempted("written");
}

PROBE(write_layer_mapping, "outside", "a file of a layer is changed through a shared mapping made before it was copied")
{
	int early = open("/layer/mapped", O_RDONLY | O_CLOEXEC), late = open("/layer/mapped", O_RDWR | O_CLOEXEC);
	char *old = mmap(NULL, 4096, PROT_READ, MAP_SHARED, early, 0);
	char *new = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, late, 0);
	if (old == MAP_FAILED || new == MAP_FAILED)
		refused();
	mprotect(old, 4096, PROT_READ | PROT_WRITE);
	memcpy(new, "EVIL", 4);
	msync(new, 4096, MS_SYNC);
	attempted("written");
}

PROBE(write_layer_by_descriptor, "outside", "a read-only descriptor of a layer's file is opened again for writing")
{
	char path[64];
	int fd = open("/layer/reopened", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int again = open(path, O_RDWR | O_CLOEXEC);
	if (again < 0 || pwrite(again, "EVIL", 4, 0) != 4)
		refused();
	attempted("written");
}

PROBE(truncate_layer_file, "outside", "a file of a layer is shortened") { truncate("/layer/truncated", 0); attempted("truncated"); }
PROBE(remove_layer_file, "outside", "a file of a layer is removed") { unlink("/layer/removed"); attempted("removed"); }
PROBE(change_layer_owner, "outside", "a file of a layer changes its mode and owner")
{
	chmod("/layer/owned", 0777);
	chown("/layer/owned", 1000, 1000);
	setxattr("/layer/owned", "user.evil", "1", 1, 0);
	attempted("changed");
}

PROBE(link_layer_file, "outside", "a hard link makes a file of a layer writable")
{
	if (link("/layer/linked", "/tmp/linked"))
		refused();
	int fd = open("/tmp/linked", O_RDWR | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, "EVIL", 4, 0) != 4)
		refused();
	attempted("written");
}

PROBE(link_over_mounts, "none", "a hard link of a memory file can be made in the root")
{
	struct stat file, folder;
	if (stat("/etc/hosts", &file) || stat("/tmp", &folder) || (file.st_dev == folder.st_dev))
		refused_because("there is no memory file");
	judge_success(linkat(AT_FDCWD, "/etc/hosts", AT_FDCWD, "/tmp/hosts-link", 0), "linked");
}

PROBE(link_by_descriptor, "none", "a hard link can be made of a descriptor of the host")
{
	judge_success(linkat(0, "", AT_FDCWD, "/tmp/descriptor-link", AT_EMPTY_PATH), "linked");
}

PROBE(store, "none", "the mount table names a folder of the host, apart from the volume's source")
{
	char text[65536];
	if (read_file("/proc/self/mountinfo", text, sizeof text) < 0)
		refused();
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char source[PATH_MAX], point[PATH_MAX], *rest = strstr(line, " - ");
		if (sscanf(line, "%*s %*s %*s %4000s %4000s", source, point) != 2 || !rest)
			refused_because("not understood: %s", line);
		if (strcmp(point, told("VOLUME")) && strstr(source, told("HOST_FOLDER")) && !strstr(source, "/volume"))
			reached("%s", line);
		if (strstr(rest, ".envgit") || strstr(rest, told("HOST_FOLDER")))
			reached("%s", line);
	}
	refused_because("none");
}

PROBE(store_by_name, "host", "the store's folder is found by its name on the host")
{
	struct stat status;
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s", told("HOST_FOLDER"));
	judge_success(stat(path, &status), path);
}
