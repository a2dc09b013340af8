from debian:12 as Base
Run echo a
cMd ["x"]
env A=b
LaBeL c=d
onbuild RuN echo e
healthcheck cmd true
healthcheck None
From BASE As second.stage_1-x
