FROM alpine:3.19
RUN apk add --no-cache --virtual .build-deps \
        gcc \
        musl-dev \
    && echo 'int main(void){return 0;}' > /t.c && gcc -o /t /t.c \
    && apk del .build-deps
SHELL ["/bin/ash", "-eo", "pipefail", "-c"]
RUN wget -q -O - https://example.com | wc -l > /number
