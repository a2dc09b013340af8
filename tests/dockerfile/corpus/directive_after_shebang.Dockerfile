#!/usr/bin/env docker-build
# escape=`
FROM debian:12
RUN echo a \
  b
