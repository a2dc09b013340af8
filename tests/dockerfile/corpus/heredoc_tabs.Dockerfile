FROM debian:12
RUN <<-EOF
	one
		two
	  three
	EOF
RUN <<-'EOF' cat
	$x
		EOF
COPY <<-EOF /x
	a
    b
EOF
RUN <<EOF
	EOF
EOF
