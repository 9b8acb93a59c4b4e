%% The workloads of savina.py, once more: the same messages, in Erlang.
-module(erlang_peer).
-export([main/1]).

%% erl ... -run erlang_peer main WORKLOAD REPEAT PARAMETER=NUMBER ...
main([Workload, Repeat | Given]) ->
    Parameters = maps:from_list([parameter(Pair) || Pair <- Given]),
    Outcomes = [apart(list_to_atom(Workload), Parameters) || _ <- lists:seq(1, list_to_integer(Repeat))],
    io:format("[~s]~n", [lists:join(",", Outcomes)]),
    halt(0).

parameter(Pair) ->
    [Name, Number] = string:split(Pair, "="),
    {list_to_atom(Name), list_to_integer(Number)}.

%% Every run in a process of its own, with an empty mailbox, to which all others are linked.
apart(Workload, Parameters) ->
    Host = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        Host ! {outcome, json(run(Workload, Parameters))},
        exit(done)
    end),
    receive
        {'DOWN', Monitor, process, Pid, done} -> receive {outcome, Outcome} -> Outcome end;
        {'DOWN', Monitor, process, Pid, Reason} ->
            io:format(standard_error, "~p~n", [Reason]),
            halt(1)
    end.

json({Nanoseconds, Result}) ->
    Numbers = [io_lib:format("~w", [Number]) || Number <- Result],
    io_lib:format("{\"seconds\":~w,\"result\":[~s]}", [Nanoseconds / 1.0e9, lists:join(",", Numbers)]).

now_ns() -> erlang:monotonic_time(nanosecond).

%% Times `Start`, which sets the actors up and going, until one of them says what came of it.
timed(Start) ->
    Began = now_ns(),
    Start(self()),
    receive {finished, Result} -> {now_ns() - Began, Result} end.

run(pingpong, #{pings := Pings}) ->
    timed(fun(Host) ->
        Pong = spawn_link(fun() -> ponger(0) end),
        spawn_link(fun() -> pinger(Host, Pong, Pings) end) ! start
    end);
run(counting, #{messages := Messages}) ->
    timed(fun(Host) ->
        Counter = spawn_link(fun() -> counter(0) end),
        spawn_link(fun() -> producer(Host, Counter, Messages) end) ! start
    end);
run(fjcreate, #{workers := Workers}) ->
    timed(fun(Host) ->
        Sink = spawn_link(fun() -> fork_join_sink(Host, Workers, 0.0) end),
        repeat(Workers, fun() -> spawn(fun fork_join_worker/0) ! Sink end)
    end);
run(threadring, #{actors := Actors, hops := Hops}) ->
    timed(fun(Host) ->
        Ring = [spawn_link(fun() -> ring_member(Host, Number) end) || Number <- lists:seq(0, Actors - 1)],
        lists:foreach(
            fun({Member, Following}) -> Member ! Following end,
            lists:zip(Ring, tl(Ring) ++ [hd(Ring)])
        ),
        hd(Ring) ! Hops
    end);
run(big, #{actors := Actors, pings := Pings}) ->
    timed(fun(Host) ->
        Sink = spawn_link(fun() -> big_sink(Host, Actors, 0) end),
        All = [spawn_link(fun() -> big_actor(Sink, Number, Pings) end) || Number <- lists:seq(0, Actors - 1)],
        Neighbours = list_to_tuple(All),
        lists:foreach(fun(Actor) -> Actor ! {neighbours, Neighbours} end, All),
        lists:foreach(fun(Actor) -> Actor ! {send_pong, -1} end, All)
    end);
run(bndbuffer, #{buffer := Buffer, producers := Producers, consumers := Consumers, items := Items, cost := Cost}) ->
    timed(fun(Host) ->
        Manager = spawn_link(fun() -> buffer_manager(Host, Producers, Consumers, Buffer - Producers) end),
        repeat(Consumers, fun() ->
            Manager ! {available, 0, spawn_link(fun() -> buffer_consumer(Manager, Cost, 0.0) end)}
        end),
        repeat(Producers, fun() ->
            spawn_link(fun() -> buffer_producer(Manager, Items, Cost, 0.0) end) ! produce
        end)
    end);
run(sleepingbarber, #{haircuts := Haircuts, capacity := Capacity, production := Production, haircut := Haircut}) ->
    timed(fun(Host) ->
        Barber = spawn_link(fun() -> barber(Haircut, 74755) end),
        Room = spawn_link(fun() -> waiting_room(Barber, Capacity, queue:new(), 0, true) end),
        spawn_link(fun() -> customer_factory(Host, Room, Haircuts, Production) end) ! start
    end);
run(banking, #{accounts := Accounts, transactions := Transactions}) ->
    timed(fun(Host) ->
        Teller = spawn_link(fun() -> teller(Host, Accounts, Transactions) end),
        Refs = [spawn_link(fun() -> account(Number, Teller, 1000000) end) || Number <- lists:seq(0, Accounts - 1)],
        Teller ! {accounts, list_to_tuple(Refs)},
        Teller ! start
    end);
run(spawn, #{actors := Actors}) ->
    Began = now_ns(),
    Pids = [spawn_link(fun idle/0) || _ <- lists:seq(1, Actors)],
    Answer = ask(spawn_link(fun adder/0), 0),
    Took = now_ns() - Began,
    1 = Answer,
    {Took, [greet(Pids)]};
run(stop, #{actors := Actors}) ->
    Pids = [spawn_link(fun idle/0) || _ <- lists:seq(1, Actors)],
    greet(Pids),
    Began = now_ns(),
    Monitors = [begin Monitor = monitor(process, Pid), Pid ! stop, Monitor end || Pid <- Pids],
    lists:foreach(fun(Monitor) -> receive {'DOWN', Monitor, process, _, normal} -> ok end end, Monitors),
    {now_ns() - Began, [length([Pid || Pid <- Pids, not is_process_alive(Pid)])]};
run(close, #{actors := Actors}) ->
    Self = self(),
    {Root, Monitor} = spawn_monitor(fun() ->
        Pids = [spawn_link(fun idle/0) || _ <- lists:seq(1, Actors)],
        greet(Pids),
        Self ! {children, Pids},
        receive close -> exit(shutdown) end
    end),
    Pids = receive {children, Children} -> Children end,
    Began = now_ns(),
    Monitors = [monitor(process, Pid) || Pid <- Pids],
    Root ! close,
    receive {'DOWN', Monitor, process, _, shutdown} -> ok end,
    lists:foreach(fun(Watched) -> receive {'DOWN', Watched, process, _, _} -> ok end end, Monitors),
    {now_ns() - Began, [length([Pid || Pid <- Pids, not is_process_alive(Pid)])]};
run(ask, #{asks := Asks}) ->
    Adder = spawn_link(fun adder/0),
    Began = now_ns(),
    Total = sum_of_answers(Adder, 0, Asks, 0),
    {now_ns() - Began, [Total]};
run(memory, #{actors := Actors}) ->
    greet([spawn_link(fun idle/0)]),
    Before = rss_bytes(),
    Began = now_ns(),
    Pids = [spawn_link(fun idle/0) || _ <- lists:seq(1, Actors)],
    1 = ask(spawn_link(fun adder/0), 0),
    Spawned = rss_bytes(),
    Answered = greet(Pids),
    {now_ns() - Began, [Answered, Spawned - Before, rss_bytes() - Before]}.

repeat(0, _) -> ok;
repeat(Times, Function) -> Function(), repeat(Times - 1, Function).

random(Value) -> (Value * 1309 + 13849) band 65535.

%% --- PingPong

pinger(Host, Pong, Left) ->
    receive
        {send_pong, _} when Left > 0 -> self() ! ping, pinger(Host, Pong, Left);
        {send_pong, _} -> Pong ! {retrieve, Host}, pinger(Host, Pong, Left);
        _ -> Pong ! {send_ping, self()}, pinger(Host, Pong, Left - 1)
    end.

ponger(Pongs) ->
    receive
        {send_ping, Sender} -> Sender ! {send_pong, self()}, ponger(Pongs + 1);
        {retrieve, Host} -> Host ! {finished, [Pongs]}, ponger(Pongs)
    end.

%% --- Counting

producer(Host, Counter, Messages) ->
    receive
        start ->
            repeat(Messages, fun() -> Counter ! next end),
            Counter ! {retrieve, self()},
            producer(Host, Counter, Messages);
        {result, Count} -> Host ! {finished, [Count]}
    end.

counter(Count) ->
    receive
        next -> counter(Count + 1);
        {retrieve, Sender} -> Sender ! {result, Count}, counter(Count)
    end.

%% --- FJCreate

fork_join_worker() ->
    receive Sink -> Sine = math:sin(37.2), Sink ! Sine * Sine end.

fork_join_sink(Host, 0, Total) -> Host ! {finished, [Total]};
fork_join_sink(Host, Left, Total) -> receive Value -> fork_join_sink(Host, Left - 1, Total + Value) end.

%% --- ThreadRing

ring_member(Host, Number) -> receive Following -> ring_member(Host, Number, Following) end.

ring_member(Host, Number, Following) ->
    receive
        0 -> Host ! {finished, [Number]};
        Left -> Following ! Left - 1
    end,
    ring_member(Host, Number, Following).

%% --- Big

big_actor(Sink, Number, Pings) ->
    receive {neighbours, All} -> big_actor(Sink, {send_ping, Number}, {send_pong, Number}, All, Pings, Number, -1, -1) end.

big_actor(Sink, Ping, Pong, All, Left, Seed, Expected, Answers) ->
    receive
        {send_ping, Sender} ->
            element(Sender + 1, All) ! Pong,
            big_actor(Sink, Ping, Pong, All, Left, Seed, Expected, Answers);
        {send_pong, Sender} ->
            Counted = case Sender of Expected -> Answers + 1; _ -> Answers end,
            case Left of
                0 ->
                    Sink ! Counted,
                    big_actor(Sink, Ping, Pong, All, 0, Seed, Expected, Counted);
                _ ->
                    Next = random(Seed),
                    Target = Next rem tuple_size(All),
                    element(Target + 1, All) ! Ping,
                    big_actor(Sink, Ping, Pong, All, Left - 1, Next, Target, Counted)
            end
    end.

big_sink(Host, 0, Answers) -> Host ! {finished, [Answers]};
big_sink(Host, Left, Answers) -> receive Counted -> big_sink(Host, Left - 1, Answers + Counted) end.

%% --- BndBuffer

process_item(Term, 0) -> logarithms(Term, 0, 1);
process_item(Term, Cost) -> logarithms(Term, Cost, 100 * Cost).

logarithms(Term, _, 0) -> Term;
logarithms(Term, Value, Left) ->
    Next = random(Value),
    logarithms(Term + math:log(Next / 65536 + 0.01), Next, Left - 1).

buffer_manager(Host, Producers, Consumers, Room) ->
    {Items, Available} = buffer(Producers, Consumers, Room, queue:new(), 0, queue:new(), queue:new(), 0),
    lists:foreach(fun(Consumer) -> Consumer ! stop end, queue:to_list(Available)),
    Totals = [receive {consumed, Total, _} -> Total end || _ <- lists:seq(1, Consumers)],
    Host ! {finished, [Items, lists:sum(Totals)]}.

%% Pending is counted beside its queue: queue:len walks it.
buffer(Producing, Consumers, Room, Pending, Length, Available, Waiting, Items) ->
    receive
        {item, Item, Producer} ->
            {NowPending, NowLength, NowAvailable} =
                case queue:out(Available) of
                    {{value, Consumer}, Others} -> Consumer ! Item, {Pending, Length, Others};
                    {empty, _} -> {queue:in(Item, Pending), Length + 1, Available}
                end,
            case NowLength >= Room of
                true ->
                    NowWaiting = queue:in(Producer, Waiting),
                    buffer(Producing, Consumers, Room, NowPending, NowLength, NowAvailable, NowWaiting, Items + 1);
                false ->
                    Producer ! produce,
                    buffer(Producing, Consumers, Room, NowPending, NowLength, NowAvailable, Waiting, Items + 1)
            end;
        {available, _, Consumer} ->
            case queue:out(Pending) of
                {{value, Item}, Rest} ->
                    Consumer ! Item,
                    NowWaiting =
                        case queue:out(Waiting) of
                            {{value, Producer}, Others} -> Producer ! produce, Others;
                            {empty, _} -> Waiting
                        end,
                    buffer(Producing, Consumers, Room, Rest, Length - 1, Available, NowWaiting, Items);
                {empty, _} ->
                    NowAvailable = queue:in(Consumer, Available),
                    case Producing =:= 0 andalso queue:len(NowAvailable) =:= Consumers of
                        true -> {Items, NowAvailable};
                        false -> buffer(Producing, Consumers, Room, Pending, Length, NowAvailable, Waiting, Items)
                    end
            end;
        {exited, _, _} ->
            case Producing =:= 1 andalso queue:len(Available) =:= Consumers of
                true -> {Items, Available};
                false -> buffer(Producing - 1, Consumers, Room, Pending, Length, Available, Waiting, Items)
            end
    end.

buffer_producer(Manager, Left, Cost, Item) ->
    receive
        produce when Left > 0 ->
            Made = process_item(Item, Cost),
            Manager ! {item, Made, self()},
            buffer_producer(Manager, Left - 1, Cost, Made);
        produce ->
            Manager ! {exited, 0, self()},
            buffer_producer(Manager, Left, Cost, Item)
    end.

buffer_consumer(Manager, Cost, Total) ->
    receive
        stop -> Manager ! {consumed, Total, self()}, buffer_consumer(Manager, Cost, Total);
        Item ->
            Consumed = process_item(Total + Item, Cost),
            Manager ! {available, 0, self()},
            buffer_consumer(Manager, Cost, Consumed)
    end.

%% --- SleepingBarber

busy_wait(Seed, Limit) ->
    First = random(Seed),
    busy_wait(First, Limit, First rem Limit + 10).

busy_wait(Seed, _, 0) -> Seed;
busy_wait(Seed, Limit, Left) ->
    Next = random(Seed),
    _ = Next rem Limit,
    busy_wait(Next, Limit, Left - 1).

waiting_room(Barber, Capacity, Waiting, Length, Asleep) ->
    receive
        next ->
            case queue:out(Waiting) of
                {{value, Customer}, Rest} ->
                    Barber ! {enter, Customer, self()},
                    waiting_room(Barber, Capacity, Rest, Length - 1, Asleep);
                {empty, _} ->
                    Barber ! wait,
                    waiting_room(Barber, Capacity, Waiting, 0, true)
            end;
        {enter, Customer} when Length =:= Capacity ->
            Customer ! full,
            waiting_room(Barber, Capacity, Waiting, Length, Asleep);
        {enter, Customer} ->
            case Asleep of
                true -> self() ! next;
                false -> Customer ! wait
            end,
            waiting_room(Barber, Capacity, queue:in(Customer, Waiting), Length + 1, false)
    end.

barber(Haircut, Seed) ->
    receive
        wait -> barber(Haircut, Seed);
        {enter, Customer, Room} ->
            Customer ! start,
            Next = busy_wait(Seed, Haircut),
            Customer ! done,
            Room ! next,
            barber(Haircut, Next)
    end.

customer(Factory) ->
    receive
        full -> Factory ! {returned, self()}, customer(Factory);
        done -> Factory ! done;
        _ -> customer(Factory)
    end.

customer_factory(Host, Room, Haircuts, Production) ->
    receive start -> produce(self(), Room, Haircuts, Production, 74755) end,
    Attempts = serve_customers(Room, Haircuts, Haircuts),
    Host ! {finished, [Haircuts, Attempts]}.

produce(_, _, 0, _, _) -> ok;
produce(Factory, Room, Left, Production, Seed) ->
    Room ! {enter, spawn(fun() -> customer(Factory) end)},
    produce(Factory, Room, Left - 1, Production, busy_wait(Seed, Production)).

serve_customers(_, 0, Attempts) -> Attempts;
serve_customers(Room, Left, Attempts) ->
    receive
        done -> serve_customers(Room, Left - 1, Attempts);
        {returned, Customer} ->
            Room ! {enter, Customer},
            serve_customers(Room, Left, Attempts + 1)
    end.

%% --- Banking

teller(Host, Accounts, Transactions) ->
    All = receive {accounts, Given} -> Given end,
    receive start -> transfer(All, Accounts, Transactions, 123456) end,
    repeat(Transactions, fun() -> receive reply -> ok end end),
    lists:foreach(fun(Account) -> Account ! stop end, tuple_to_list(All)),
    Balances = [receive {balance, Number, Balance} -> {Number, Balance} end || _ <- lists:seq(1, Accounts)],
    Weighted = lists:sum([Number * Balance || {Number, Balance} <- Balances]),
    Host ! {finished, [Transactions, lists:sum([Balance || {_, Balance} <- Balances]), Weighted]}.

transfer(_, _, 0, _) -> ok;
transfer(All, Accounts, Left, Seed) ->
    First = random(Seed),
    Source = First rem (Accounts div 10 * 8),
    Second = random(First),
    Target = Source + max(1, Second rem (Accounts - Source)),
    Third = random(Second),
    element(Source + 1, All) ! {credit, Third rem 1000, self(), element(Target + 1, All)},
    transfer(All, Accounts, Left - 1, Third).

%% Without a stash: `receive` in `account/4` takes the reply first, and leaves the rest in the mailbox.
%% That is what Erlang's users write, and what the suite's stash stands in for.
account(Number, Teller, Balance) ->
    receive
        stop -> Teller ! {balance, Number, Balance}, account(Number, Teller, Balance);
        {debit, Amount, Creditor} -> Creditor ! reply, account(Number, Teller, Balance + Amount);
        {credit, Amount, _, Recipient} ->
            Recipient ! {debit, Amount, self()},
            receive reply -> Teller ! reply end,
            account(Number, Teller, Balance - Amount)
    end.

%% --- beyond the suite

idle() ->
    receive
        stop -> ok;
        Sink -> Sink ! next, idle()
    end.

adder() ->
    receive
        {ask, Sender, Monitor, Number} -> Sender ! {Monitor, Number + 1}, adder()
    end.

%% As gen_server:call does it: an answer, or notice that there will be none.
ask(Pid, Number) ->
    Monitor = monitor(process, Pid),
    Pid ! {ask, self(), Monitor, Number},
    receive
        {Monitor, Answer} -> demonitor(Monitor, [flush]), Answer;
        {'DOWN', Monitor, process, _, Reason} -> exit(Reason)
    end.

sum_of_answers(_, Asks, Asks, Total) -> Total;
sum_of_answers(Adder, Number, Asks, Total) ->
    sum_of_answers(Adder, Number + 1, Asks, Total + ask(Adder, Number)).

%% One message to each, and how many answered.
greet(Pids) ->
    Self = self(),
    Count = length(Pids),
    Sink = spawn_link(fun() -> repeat(Count, fun() -> receive next -> ok end end), Self ! {greeted, Count} end),
    lists:foreach(fun(Pid) -> Pid ! Sink end, Pids),
    receive {greeted, Answered} -> Answered end.

rss_bytes() ->
    erlang:garbage_collect(),
    {ok, File} = file:open("/proc/self/statm", [read]),
    {ok, Line} = file:read_line(File),
    file:close(File),
    [_, Resident | _] = string:split(Line, " ", all),
    list_to_integer(Resident) * 4096.
