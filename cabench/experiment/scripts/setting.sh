cd -- {{ folder | quoted }} || exit
export CABENCH_CACHE={{ cache | quoted }}
cabench=({{ python | quoted }} -m cabench)
request=({{ arguments }})
