FROM debian:12
RUN echo "a   b"   'c'   \$d   $e   ${f:-g}
RUN    leading and trailing    
RUN if [ -n "$x" ]; then echo "y"; fi; for i in 1 2 3; do echo $i; done
RUN cat <input >output 2>&1 | tee -a log
RUN echo $((1 + 2)) `date` $(date)
CMD exec "$0"
ENTRYPOINT exec top -b
CMD
ENTRYPOINT
RUN a;b&&c||d
RUN echo é 日本 😀
