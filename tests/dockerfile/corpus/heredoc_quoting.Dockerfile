FROM debian:12
RUN <<"a b" cat
x
a b
RUN <<'a b'c cat
x
a bc
RUN <<EOF; echo
x
EOF;
RUN <<$x cat
y
$x
RUN <<${x:-y} cat
z
${x:-y}
RUN <<"" cat
RUN <<"a\"b"
x
a"b
RUN <<é
x
é
