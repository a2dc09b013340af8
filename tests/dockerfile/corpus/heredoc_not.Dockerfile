FROM debian:12
RUN ["sh", "-c", "cat <<EOF"]
RUN echo "<<EOF"
RUN echo '<<EOF' \<<x
RUN cat <<<word
RUN cat <<< "some words"
CMD cat <<EOF
ENV a=<<EOF
LABEL b="<<EOF"
RUN echo a<<b
RUN echo $((1<<4))
RUN echo "unclosed <<EOF
ENTRYPOINT <<EOF
ONBUILD CMD <<EOF
