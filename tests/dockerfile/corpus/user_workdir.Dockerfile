FROM debian:12
USER root
USER 1000:1000
USER "$user":${group:-x}
USER   spaced  
WORKDIR /a
WORKDIR b/c
WORKDIR /with space
WORKDIR "/quoted space"
WORKDIR $HOME/${x}
WORKDIR C:\\windows
WORKDIR ./
WORKDIR ..
