FROM debian:12
LABEL version="1.0"
LABEL "com.example.vendor"="ACME Incorporated"
LABEL com.example.label-with-value="foo"
LABEL multi.label1="value1" \
      multi.label2="value2" \
      other="value3"
LABEL description="This text \
spans several lines."
LABEL maintainer='A "U" Thor <author@example.com>'
LABEL json={"a":"b","c":["d"]}
LABEL json2='{"a": "b"}' empty=""
