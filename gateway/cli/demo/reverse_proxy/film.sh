#!/bin/sh
# How public/film.webm was made, with ffmpeg 5.1 and DejaVu Sans of Debian 12: sh film.sh
#
# Twenty seconds that count themselves. A key frame each second, and the index (cues) at the front, so that a
# browser can go to any second with one range request.
set -eu
cd "$(dirname "$0")"

ffmpeg -loglevel error -y -filter_complex "
  gradients=s=640x360:r=15:d=20:n=3:c0=0x12355b:c1=0x2a9d8f:c2=0xe9c46a
    :x0=0:y0=0:x1=640:y1=360:speed=0.012:seed=7[sky];
  color=c=white@0.9:s=640x8:r=15:d=20,format=yuva420p[bar];
  [sky][bar]overlay=x='-640+640*t/20':y=352,
  drawtext=font=sans:fontsize=150:fontcolor=white:x=(w-tw)/2:y=(h-th)/2:text='%{eif\:floor(t)\:d\:2}',
  format=yuv420p" \
  -c:v libvpx -crf 30 -b:v 60k -g 15 -an -cues_to_front 1 -bitexact public/film.webm
