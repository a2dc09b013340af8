FROM debian:12
ONBUILD RUN <<EOF
echo later
EOF
ONBUILD COPY <<-A <<B /x/
	a
	A
b
B
ONBUILD RUN ["<<EOF"]
