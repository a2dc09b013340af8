FROM debian
FROM debian:12
FROM debian@sha256:0000000000000000000000000000000000000000000000000000000000000000
FROM registry.example.com:5000/team/image:tag AS build
FROM --platform=linux/arm64 debian:12 AS arm
FROM --platform=$BUILDPLATFORM golang:1.22 AS go
FROM scratch
FROM   build   AS   again  
FROM ${base:-debian}:${tag}
FROM oci:images/base:latest as local
FROM --platform="linux/amd64" debian:12
