FROM debian:12
SHELL ["/bin/bash", "-eo", "pipefail", "-c"]
RUN echo a | grep b
SHELL [ "/bin/sh" ]
RUN echo c
