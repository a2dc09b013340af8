FROM debian:12
RUN echo one \

  two \
    
	
  three
ENV a=b \

    c=d
