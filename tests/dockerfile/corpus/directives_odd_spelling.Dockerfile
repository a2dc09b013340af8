#SYNTAX=docker/dockerfile:1.7-labs
#   EsCaPe=`   
FROM mcr.example.com/windows/nanoserver
COPY `
  testfile.txt `
  c:\
RUN dir c:\ && `
    echo done
SHELL ["powershell", "-command"]
RUN Write-Host 'a`b' "c`"d"
ENV path=c:\bin name="a `"b`" c" other=d` e
LABEL one=two` three
