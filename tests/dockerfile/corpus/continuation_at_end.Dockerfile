FROM debian:12
RUN echo \
  to the end \
