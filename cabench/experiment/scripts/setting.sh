cd -- {{ folder | quoted }} || exit
export CABENCH_CACHE={{ cache | quoted }}
cabench=({{ python | quoted }} -P -m cabench)
request=({{ arguments }})
