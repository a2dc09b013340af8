FROM debian:12
ADD archive.tar.gz /opt/
ADD https://example.com/file.txt /tmp/
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.com/x /y
ADD --keep-git-dir=true https://github.com/moby/buildkit.git#v0.10.1 /buildkit
ADD --unpack=false --chmod=u=rwX,go=rX a.tar /a
ADD --chown=1:2 --link --exclude=*.md --unpack . /dest
ADD git@git.example.com:foo/bar.git /bar
