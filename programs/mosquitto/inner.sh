. "$PROGRAMS/lib/inner.sh"
port
four=$PORT
port
six=$PORT
cat >mosquitto.conf <<EOF
listener $four 127.0.0.1
listener $six ::1
listener 0 $WORK/broker.sock
allow_anonymous true
user $(id -un)
EOF
start broker mosquitto -c mosquitto.conf
broker=$PID
tcp_up 127.0.0.1 "$four"
unix_up broker.sock
over=("-h 127.0.0.1 -p $four" "-h ::1 -p $six" "--unix $WORK/broker.sock")

# Nine subscribers; each publisher's messages reach all of them, in order.
pids=()
for to in 0 1 2; do
    for qos in 0 1 2; do
        start "sub.$to.$qos" mosquitto_sub ${over[$to]} -t "news/#" -q $qos -C 300
        pids+=("$PID")
    done
done
subscribed() { [ "$(grep -c 'New client connected' broker.log)" = 9 ]; }
until_true 10 subscribed
sleep 0.5
for from in 0 1 2; do
    seq 100 | sed "s/^/$from /" | mosquitto_pub ${over[$from]} -t "news/$from" -q $from -l
done
for pid in "${pids[@]}"; do ends "$pid" 0; done
for from in 0 1 2; do seq 100 | sed "s/^/$from /"; done >wanted
for log in sub.*.log; do same_file "$log" wanted; done

# What was kept for a client that comes later.
mosquitto_pub ${over[0]} -t kept -r -m 'for later'
same "$(mosquitto_sub ${over[2]} -t kept -C 1)" 'for later' "a kept message"
stop $broker 0
rm -f broker.sock
inner_done
