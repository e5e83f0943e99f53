. "$PROGRAMS/lib/inner.sh"
mkdir www
head -c 3000000 /dev/urandom >www/blob
start web python3 -u -m http.server 7080 --bind 0.0.0.0 --directory www
web=$PID
start web6 python3 -u -m http.server 7081 --bind :: --directory www
web6=$PID
start peers python3 -u "$HERE/peers.py"
peers=$PID
tcp_up 127.0.0.1 7080
tcp_up ::1 7081
until_true 20 grep -q ready peers.log
# A run without --net nat leads nowhere by itself.
status=0
curl -sS -m 10 http://192.0.2.77/ 2>error.txt || status=$?
same $status 7 "curl's status"
touch up
until_true 100 test -e over
stop $web 143
stop $web6 143
stop $peers 143
inner_done
