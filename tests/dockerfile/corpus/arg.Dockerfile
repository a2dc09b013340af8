ARG VERSION=12
ARG A B=c D="e f" G='h i'
ARG lower=$VERSION upper=${VERSION:-13}
FROM debian:${VERSION}
ARG VERSION
ARG x y=
ARG q="a\"b" r=a\ b
ARG http_proxy
ARG unclosed="a b
