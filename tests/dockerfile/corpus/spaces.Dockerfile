  FROM   debian:12   AS   x  
	RUN	echo	a	
    ENV    a=b    c=d    
RUN echo	a
COPY   a    b    /c   
WORKDIR    /a   b   
EXPOSE   1    2   
CMD   [  "a"  ]   
LABEL   a=b  
RUN echo　ideographic
ARG a b
