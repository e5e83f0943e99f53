//! /proc/net/fib_trie and fib_triestat: the routes of IPv4, as the trees of Linux's tables hold them.
//!
//! # Theory of operation
//! A level-compressed trie: a node stands for `bits` bits of the address from `pos` on, and has a child for each of their
//! values; what all below it have in common is skipped. As routes come, a node is doubled while that fills it, and halved
//! while most of it is empty. The stack has tables of another kind: the tree is made when it is asked for.
//!
//! # Limits
//! The routes come in the order of their addresses, not of their making, and none is ever taken away: where that matters,
//! the inner nodes may be others than Linux's. Leaves, their order and their routes are the same.

use crate::host::Host;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::Ipv4Addr;
use switchboard_engine::{Rule, TABLE_LOCAL, TABLE_MAIN};

/// Bits of an address.
const KEY: u32 = 32;

/// Per cent: from where on a node is doubled, and below which it is halved; of the root, and of others.
const INFLATE: [usize; 2] = [50, 30];
const HALVE: [usize; 2] = [25, 15];
/// How often one call does.
const MAX_WORK: u32 = 10;

/// FIB_TABLE_HASHSZ
const TABLE_BUCKETS: u32 = 256;

/// A route, as the tree has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Alias {
    pub(crate) to: u32,
    pub(crate) len: u8,
    pub(crate) table: u32,
    pub(crate) metric: u32,
    pub(crate) scope: u8,
    /// RTN_*
    pub(crate) kind: u8,
}

type Slot = Option<Box<Node>>;

enum Node {
    Leaf(u32, Vec<Alias>),
    Inner(Inner),
}

struct Inner {
    key: u32,
    pos: u32,
    bits: u32,
    children: Vec<Slot>,
}

impl Node {
    fn key(&self) -> u32 {
        match self {
            Node::Leaf(key, _) => *key,
            Node::Inner(inner) => inner.key,
        }
    }
}

impl Inner {
    fn new(key: u32, pos: u32, bits: u32) -> Inner {
        let above = (!0u32).checked_shl(pos + bits).unwrap_or(0);
        let mut children = Vec::new();
        children.resize_with(1 << bits, || None);
        Inner {
            key: key & above,
            pos,
            bits,
            children,
        }
    }

    /// get_cindex(): beyond the children for an address that is none of this node's.
    fn index(&self, key: u32) -> usize {
        ((key ^ self.key) >> self.pos) as usize
    }

    fn put(&mut self, node: Box<Node>) {
        let at = self.index(node.key());
        self.children[at] = Some(node);
    }

    /// tnode_full(): an inner node that skips nothing.
    fn is_full(&self, child: &Node) -> bool {
        matches!(child, Node::Inner(inner) if inner.pos + inner.bits == self.pos)
    }

    fn full(&self) -> usize {
        let children = self.children.iter().flatten();
        children.filter(|child| self.is_full(child)).count()
    }

    fn empty(&self) -> usize {
        self.children.iter().filter(|child| child.is_none()).count()
    }

    fn should_inflate(&self, root: bool) -> bool {
        let len = self.children.len();
        let used = len - self.empty() + self.full();
        // Of the node that it would be, which is twice as large.
        used > 1 && self.pos > 0 && 100 * used >= 2 * len * INFLATE[usize::from(root)]
    }

    fn should_halve(&self, root: bool) -> bool {
        let len = self.children.len();
        let used = len - self.empty();
        used > 1 && self.bits > 1 && 100 * used < len * HALVE[usize::from(root)]
    }

    /// inflate(): one bit more.
    fn doubled(self) -> Inner {
        let mut new = Inner::new(self.key, self.pos - 1, self.bits + 1);
        let low = self.pos;
        for child in self.children.into_iter().flatten() {
            match *child {
                Node::Inner(inner) if inner.pos + inner.bits == low => {
                    if inner.bits == 1 {
                        inner
                            .children
                            .into_iter()
                            .flatten()
                            .for_each(|c| new.put(c));
                        continue;
                    }
                    // Two of half the size.
                    let upper = 1 << new.pos;
                    let mut halves = [
                        Inner::new(inner.key, inner.pos, inner.bits - 1),
                        Inner::new(inner.key | upper, inner.pos, inner.bits - 1),
                    ];
                    for c in inner.children.into_iter().flatten() {
                        halves[usize::from(c.key() & upper != 0)].put(c);
                    }
                    for half in halves {
                        new.put(Box::new(Node::Inner(half)));
                    }
                }
                other => new.put(Box::new(other)),
            }
        }
        new
    }

    /// halve(): one bit less.
    fn halved(self) -> Inner {
        let mut new = Inner::new(self.key, self.pos + 1, self.bits - 1);
        let mut children = self.children.into_iter();
        while let (Some(low), Some(high)) = (children.next(), children.next()) {
            match (low, high) {
                (Some(low), Some(high)) => {
                    let mut both = Inner::new(low.key(), self.pos, 1);
                    both.put(low);
                    both.put(high);
                    new.put(Box::new(Node::Inner(both)));
                }
                (Some(one), None) | (None, Some(one)) => new.put(one),
                (None, None) => {}
            }
        }
        new
    }

    /// replace(): children that skip nothing have another parent now.
    fn resize_children(&mut self) {
        for at in (0..self.children.len()).rev() {
            if self.children[at].as_ref().is_some_and(|c| self.is_full(c)) {
                resize(&mut self.children[at], false);
            }
        }
    }
}

/// resize()
fn resize(slot: &mut Slot, root: bool) {
    let mut work = MAX_WORK;
    let mut step =
        |slot: &mut Slot, wanted: &dyn Fn(&Inner) -> bool, doing: fn(Inner) -> Inner| match slot
            .take()
            .map(|node| *node)
        {
            Some(Node::Inner(inner)) if work > 0 && wanted(&inner) => {
                let mut new = doing(inner);
                new.resize_children();
                *slot = Some(Box::new(Node::Inner(new)));
                work -= 1;
                true
            }
            other => {
                *slot = other.map(Box::new);
                false
            }
        };
    let mut grown = false;
    while step(slot, &|inner| inner.should_inflate(root), Inner::doubled) {
        grown = true;
    }
    if grown {
        return;
    }
    while step(slot, &|inner| inner.should_halve(root), Inner::halved) {}
    // collapse()
    if let Some(Node::Inner(inner)) = slot.as_deref_mut()
        && inner.children.len() - inner.empty() < 2
    {
        *slot = inner.children.iter_mut().find_map(Slot::take);
    }
}

/// fib_insert_alias() and trie_rebalance()
fn insert(slot: &mut Slot, route: &Alias, root: bool) {
    let key = route.to;
    match slot.as_deref_mut() {
        None => *slot = Some(Box::new(Node::Leaf(key, [*route].into()))),
        Some(Node::Leaf(own, routes)) if *own == key => routes.push(*route),
        Some(Node::Inner(inner)) if inner.index(key) < inner.children.len() => {
            let at = inner.index(key);
            insert(&mut inner.children[at], route, false);
            resize(slot, root);
        }
        Some(other) => {
            let differs = KEY - 1 - (key ^ other.key()).leading_zeros();
            let mut both = Inner::new(key, differs, 1);
            slot.take().into_iter().for_each(|node| both.put(node));
            both.put(Box::new(Node::Leaf(key, [*route].into())));
            *slot = Some(Box::new(Node::Inner(both)));
            resize(slot, root);
        }
    }
}

/// rtn_scope()
fn scope(scope: u8, out: &mut String) {
    let name = match scope {
        0 => "universe",
        200 => "site",
        253 => "link",
        254 => "host",
        255 => "nowhere",
        other => {
            let _ = write!(out, "scope={other}");
            return;
        }
    };
    out.push_str(name);
}

/// rtn_type()
fn kind(kind: u8, out: &mut String) {
    const NAMES: [&str; 12] = [
        "UNSPEC",
        "UNICAST",
        "LOCAL",
        "BROADCAST",
        "ANYCAST",
        "MULTICAST",
        "BLACKHOLE",
        "UNREACHABLE",
        "PROHIBIT",
        "THROW",
        "NAT",
        "XRESOLVE",
    ];
    match NAMES.get(usize::from(kind)) {
        Some(name) => out.push_str(name),
        None => {
            let _ = write!(out, "type {kind}");
        }
    }
}

/// fib_trie_seq_show()
fn show(node: &Node, depth: usize, out: &mut String) {
    let indent = |out: &mut String, depth| (0..depth).for_each(|_| out.push_str("   "));
    indent(out, depth);
    let key = Ipv4Addr::from_bits(node.key());
    match node {
        Node::Inner(inner) => {
            let (full, empty) = (inner.full(), inner.empty());
            let len = KEY - inner.pos - inner.bits;
            let _ = writeln!(out, "  +-- {key}/{len} {} {full} {empty}", inner.bits);
            for child in inner.children.iter().flatten() {
                show(child, depth + 1, out);
            }
        }
        Node::Leaf(_, routes) => {
            let _ = writeln!(out, "  |-- {key}");
            // fib_find_alias(): the more specific first, of the later table, of the smaller metric.
            let mut routes: Vec<&Alias> = routes.iter().collect();
            routes.sort_by_key(|r| (KEY as u8 - r.len.min(32), !r.table, r.metric));
            for route in routes {
                indent(out, depth + 1);
                let _ = write!(out, "  /{} ", route.len);
                scope(route.scope, out);
                out.push(' ');
                kind(route.kind, out);
                out.push('\n');
            }
        }
    }
}

/// `struct trie_stat`
#[derive(Default)]
struct Stats {
    depths: usize,
    deepest: usize,
    leaves: usize,
    prefixes: usize,
    /// Inner nodes by the bits that they stand for.
    inner: [usize; MOST_BITS],
    empty: usize,
}

/// MAX_STAT_DEPTH
const MOST_BITS: usize = 32;
/// What Linux's structures take: a leaf and an inner node without their pointers, a route, a pointer.
const LEAF_SIZE: usize = 48;
const NODE_SIZE: usize = 40;
const ALIAS_SIZE: usize = 56;
const POINTER_SIZE: usize = 8;

impl Stats {
    /// trie_collect_stats()
    fn count(&mut self, node: &Node, depth: usize) {
        match node {
            Node::Leaf(_, routes) => {
                self.leaves += 1;
                self.depths += depth;
                self.deepest = self.deepest.max(depth);
                self.prefixes += routes.len();
            }
            Node::Inner(inner) => {
                self.inner[(inner.bits as usize).min(MOST_BITS - 1)] += 1;
                self.empty += inner.empty();
                for child in inner.children.iter().flatten() {
                    self.count(child, depth + 1);
                }
            }
        }
    }
}

/// trie_show_stats()
fn show_stats(tree: &Node, _: usize, out: &mut String) {
    let mut stats = Stats::default();
    stats.count(tree, 0);
    let average = stats.depths * 100 / stats.leaves.max(1);
    let nodes: usize = stats.inner.iter().sum();
    let _ = write!(
        out,
        "\tAver depth:     {}.{:02}\n\tMax depth:      {}\n\tLeaves:         {}\n\tPrefixes:       {}\n\tInternal nodes: {nodes}\n\t",
        average / 100,
        average % 100,
        stats.deepest,
        stats.leaves,
        stats.prefixes,
    );
    let mut pointers = 0;
    for (bits, count) in stats.inner.iter().enumerate() {
        if *count > 0 {
            let _ = write!(out, "  {bits}: {count}");
            pointers += count << bits;
        }
    }
    let bytes = LEAF_SIZE * stats.leaves
        + ALIAS_SIZE * stats.prefixes
        + NODE_SIZE * nodes
        + POINTER_SIZE * pointers;
    let _ = write!(
        out,
        "\n\tPointers: {pointers}\nNull ptrs: {}\nTotal size: {}  kB\n",
        stats.empty,
        bytes.div_ceil(1024)
    );
}

/// fib_table_print() and what is in each table, by `show`.
fn tables(routes: &[Alias], merged: bool, show: fn(&Node, usize, &mut String), out: &mut String) {
    let of = |table: u32| match table {
        TABLE_LOCAL if merged => TABLE_MAIN,
        other => other,
    };
    let mut numbers: Vec<u32> = routes.iter().map(|route| route.table).collect();
    if merged {
        numbers.extend([TABLE_MAIN, TABLE_LOCAL]);
    }
    numbers.sort_by_key(|table| (table % TABLE_BUCKETS, *table));
    numbers.dedup();
    for table in numbers {
        let mut tree = None;
        for route in routes.iter().filter(|route| of(route.table) == of(table)) {
            insert(&mut tree, route, true);
        }
        let Some(tree) = tree else { continue };
        match table {
            TABLE_LOCAL => out.push_str("Local:\n"),
            TABLE_MAIN => out.push_str("Main:\n"),
            other => {
                let _ = writeln!(out, "Id {other}:");
            }
        }
        show(&tree, 0, out);
    }
}

pub(super) fn fib_trie(host: &Host, out: &mut String) {
    tables_of(host, show, out);
}

/// fib_triestat_seq_show()
pub(super) fn fib_triestat(host: &Host, out: &mut String) {
    let _ = writeln!(
        out,
        "Basic info: size of leaf: {LEAF_SIZE} bytes, size of tnode: {NODE_SIZE} bytes."
    );
    tables_of(host, show_stats, out);
}

fn tables_of(host: &Host, show: fn(&Node, usize, &mut String), out: &mut String) {
    let mut routes = host.v4_aliases();
    routes.sort_unstable();
    // fib_unmerge(): the tables local and main are one until there is a rule that could tell them apart.
    let usual = |rule: &Rule| {
        let table = [(0, TABLE_LOCAL), (32766, TABLE_MAIN), (32767, 253)];
        let mut known = table.iter();
        known.any(|(priority, table)| *rule == Rule::of_table(false, *priority, *table))
    };
    let merged = host.stack.rules().filter(|rule| !rule.v6).all(usual);
    tables(&routes, merged, show, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn route(to: &str, len: u8, scope: u8, kind: u8) -> Alias {
        let table = if kind == 1 || kind == 6 {
            TABLE_MAIN
        } else {
            TABLE_LOCAL
        };
        Alias {
            to: to.parse::<Ipv4Addr>().unwrap().to_bits(),
            len,
            table,
            metric: 0,
            scope,
            kind,
        }
    }

    fn of_lo() -> Vec<Alias> {
        [
            route("127.0.0.1", 32, 254, 2),
            route("127.0.0.0", 8, 254, 2),
            route("127.255.255.255", 32, 253, 3),
        ]
        .into()
    }

    #[test]
    fn lo_as_linux_shows_it() {
        let mut out = String::new();
        tables(&of_lo(), true, show, &mut out);
        let tree = "  +-- 127.0.0.0/8 2 0 2
     +-- 127.0.0.0/31 1 0 0
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 127.255.255.255
        /32 link BROADCAST
";
        assert_eq!(out, ["Main:\n", tree, "Local:\n", tree].concat());
    }

    #[test]
    fn figures_of_lo_as_linux_shows_them() {
        let mut out = String::new();
        tables(&of_lo(), true, show_stats, &mut out);
        let figures = "\tAver depth:     1.66
\tMax depth:      2
\tLeaves:         3
\tPrefixes:       3
\tInternal nodes: 2
\t  1: 1  2: 1
\tPointers: 6
Null ptrs: 2
Total size: 1  kB
";
        assert_eq!(out, ["Main:\n", figures, "Local:\n", figures].concat());
    }

    /// The inner nodes and the places of leaves of a host with two addresses and some routes, as Linux 6.18 has them.
    #[test]
    fn more_routes_as_linux_shows_them() {
        let mut all = of_lo();
        all.extend([
            route("10.0.0.0", 24, 253, 1),
            route("10.0.0.1", 32, 254, 2),
            route("10.0.0.2", 32, 254, 2),
            route("10.0.0.255", 32, 253, 3),
            route("192.168.0.0", 16, 253, 1),
            route("192.168.7.3", 32, 254, 2),
            route("192.168.255.255", 32, 253, 3),
            route("0.0.0.0", 0, 0, 1),
            route("203.0.113.0", 25, 0, 6),
        ]);
        all.extend((1..=12u8).map(|i| route(&alloc::format!("172.16.{i}.0"), 24, 0, 1)));
        all.sort_unstable();
        let mut out = String::new();
        tables(&all, true, show, &mut out);
        let main = out.split("Local:").next().unwrap().to_string();
        let nodes: Vec<&str> = main.lines().filter(|line| line.contains("+--")).collect();
        let want = [
            "  +-- 0.0.0.0/0 3 0 4",
            "     +-- 0.0.0.0/4 2 0 2",
            "        +-- 10.0.0.0/24 2 0 2",
            "           +-- 10.0.0.0/30 2 0 1",
            "     +-- 127.0.0.0/8 2 0 2",
            "        +-- 127.0.0.0/31 1 0 0",
            "     +-- 172.16.0.0/20 4 0 4",
            "     +-- 192.0.0.0/4 2 0 2",
            "        +-- 192.168.0.0/16 2 0 2",
            "           +-- 192.168.0.0/21 2 0 2",
        ];
        assert_eq!(nodes, want);
        let leaves = main.lines().filter(|line| line.contains("|--")).count();
        assert_eq!(leaves, all.len());
        for (leaf, route) in [
            ("        |-- 0.0.0.0\n", "           /0 universe UNICAST\n"),
            (
                "              |-- 10.0.0.0\n",
                "                 /24 link UNICAST\n",
            ),
            (
                "        |-- 203.0.113.0\n",
                "           /25 universe BLACKHOLE\n",
            ),
        ] {
            assert!(main.contains(&[leaf, route].concat()), "{main}");
        }
    }

    #[test]
    fn tables_of_their_own() {
        let mut all = of_lo();
        all.push(Alias {
            table: 77,
            ..route("9.9.9.0", 24, 0, 1)
        });
        let mut out = String::new();
        tables(&all, false, show, &mut out);
        assert!(
            out.starts_with("Id 77:\n  |-- 9.9.9.0\n     /24 universe UNICAST\nLocal:\n"),
            "{out}"
        );
        assert!(!out.contains("Main:"));
    }

    /// Any routes, and every one is found.
    #[test]
    fn nothing_is_lost() {
        let mut all = Vec::new();
        let mut x = 1u32;
        for _ in 0..3000 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let to = x & (!0u32).checked_shl(x & 31).unwrap_or(0);
            all.push(Alias {
                to,
                ..route("0.0.0.0", 32, 0, 1)
            });
        }
        all.sort_unstable();
        all.dedup();
        let mut out = String::new();
        tables(&all, false, show, &mut out);
        let leaves = out.lines().filter(|line| line.contains("|--"));
        let seen: Vec<u32> = leaves
            .map(|line| {
                line.trim_start_matches([' ', '|', '-'])
                    .parse::<Ipv4Addr>()
                    .unwrap()
                    .to_bits()
            })
            .collect();
        assert_eq!(seen, all.iter().map(|route| route.to).collect::<Vec<u32>>());
    }
}
