FROM debian:12
RUN <<FILE1 cat > /1 && <<FILE2 cat > /2
one
FILE1
two
FILE2
COPY <<a <<-b <<'c' /dir/
A
a
	B
	b
$C
c
RUN 3<<EOF cat <&3
three
EOF
RUN 0<<A 12<<B true
a
A
b
B
RUN <<EOF <<EOF cat
first
EOF
second
EOF
