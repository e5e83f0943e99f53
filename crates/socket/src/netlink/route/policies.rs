//! What the attributes of NETLINK_ROUTE have to be: ifla_policy, ifa_ipv4_policy and kin, by their numbers.

use super::super::policy::{Policy, S32, Shape, U8, U16, U32};
use Shape::{AtLeast, Binary, Int, Masked, Nest, Network, Refused, Signed, Terminated, Text};

const fn table<const N: usize>(rows: &[(usize, Shape)]) -> [Shape; N] {
    let mut out = [Shape::Any; N];
    let mut at = 0;
    while at < rows.len() {
        out[rows[at].0] = rows[at].1;
        at += 1;
    }
    out
}

/// None of these is strict.
const NEVER: u16 = u16::MAX;
/// MAX_TCP_HEADER + 1, of a kernel without tunnels.
const LEAST_GSO: u64 = 193;
/// NLA_POLICY_MIN(NLA_S32, 1)
const POSITIVE: Shape = Signed(4, 1, i32::MAX as i64);

/// IFLA_*
pub(super) const LINK: Policy = Policy {
    shapes: &table::<70>(&[
        (1, Binary(32)),
        (2, Binary(32)),
        (3, Text(15)),
        (4, U32),
        (5, U32),
        (10, U32),
        (13, U32),
        (14, AtLeast(32)),
        (15, U32),
        (16, U8),
        (17, U8),
        (18, Nest),
        (19, U32),
        (20, Binary(255)),
        (22, Nest),
        (24, Nest),
        (25, Nest),
        (26, Nest),
        (27, U32),
        (28, U32),
        (29, U32),
        (30, U32),
        (31, U32),
        (32, U32),
        (33, U8),
        (34, Binary(32)),
        (35, U32),
        (36, Binary(32)),
        (37, S32),
        (39, U8),
        (40, U32),
        (41, Int(4, LEAST_GSO, 0xffff_ffff)),
        (43, Nest),
        (44, U32),
        (46, S32),
        (47, U32),
        (48, U32),
        (49, POSITIVE),
        (50, U32),
        (51, U32),
        (52, Nest),
        (53, Text(127)),
        (54, Refused),
        (55, Nest),
        (56, Terminated(0)),
        (58, U32),
        (59, Refused),
        (60, Refused),
        (61, Refused),
        (63, Int(4, LEAST_GSO, 0xffff_ffff)),
        (64, U32),
        (67, Refused),
        (68, Refused),
        (69, Refused),
    ]),
    strict_from: 65,
};

/// IFA_* of IPv4.
pub(super) const ADDR4: Policy = Policy {
    shapes: &table::<12>(&[
        (1, U32),
        (2, U32),
        (3, Text(15)),
        (4, U32),
        (6, AtLeast(16)),
        (8, U32),
        (9, U32),
        (10, S32),
        (11, U8),
    ]),
    strict_from: NEVER,
};

/// IFA_* of IPv6.
pub(super) const ADDR6: Policy = Policy {
    shapes: &table::<12>(&[
        (1, AtLeast(16)),
        (2, AtLeast(16)),
        (6, AtLeast(16)),
        (8, AtLeast(4)),
        (9, AtLeast(4)),
        (10, S32),
        (11, U8),
    ]),
    strict_from: NEVER,
};

/// RTA_* of IPv4.
pub(super) const ROUTE4: Policy = Policy {
    shapes: &table::<32>(&[
        (1, U32),
        (2, U32),
        (3, U32),
        (4, U32),
        (5, U32),
        (6, U32),
        (7, U32),
        (8, Nest),
        (9, AtLeast(8)),
        (11, U32),
        (15, U32),
        (16, U32),
        (21, U16),
        (22, Nest),
        (25, U32),
        (27, U8),
        (28, U16),
        (29, U16),
        (30, U32),
    ]),
    strict_from: 30,
};

/// RTA_* of IPv6.
pub(super) const ROUTE6: Policy = Policy {
    shapes: &table::<32>(&[
        (3, U32),
        (4, U32),
        (5, AtLeast(16)),
        (6, U32),
        (7, AtLeast(16)),
        (8, Nest),
        (9, AtLeast(8)),
        (15, U32),
        (16, U32),
        (20, U8),
        (21, U16),
        (22, Nest),
        (23, U32),
        (25, U32),
        (27, U8),
        (28, U16),
        (29, U16),
        (30, U32),
        (31, Network(4)),
    ]),
    strict_from: 30,
};

/// NDA_*
pub(super) const NEIGH: Policy = Policy {
    shapes: &table::<18>(&[
        (1, Binary(32)),
        (2, Binary(32)),
        (3, AtLeast(16)),
        (4, U32),
        (5, U16),
        (6, U16),
        (7, U32),
        (8, U32),
        (9, U32),
        (12, U8),
        (13, U32),
        (14, Nest),
        // NTF_EXT_MANAGED, NTF_EXT_EXT_VALIDATED
        (15, Masked(4, 5)),
    ]),
    strict_from: 13,
};

/// FRA_*
pub(super) const RULE: Policy = Policy {
    shapes: &table::<31>(&[
        (3, Text(15)),
        (4, U32),
        (6, U32),
        (10, U32),
        (11, U32),
        (12, Int(8, 0, u64::MAX)),
        (13, U32),
        (14, U32),
        (15, U32),
        (16, U32),
        (17, Text(15)),
        (19, U8),
        (20, AtLeast(8)),
        (21, U8),
        (22, U8),
        (23, AtLeast(4)),
        (24, AtLeast(4)),
        (25, Int(1, 0, 0x3f)),
        (26, Network(4)),
        (27, Network(4)),
        (28, U16),
        (29, U16),
        (30, Masked(1, 0x3f)),
    ]),
    strict_from: 25,
};

/// Of a request about addresses of this family.
pub(super) const fn addr(v6: bool) -> &'static Policy {
    if v6 { &ADDR6 } else { &ADDR4 }
}

/// Of a request about routes of this family.
pub(super) const fn route(v6: bool) -> &'static Policy {
    if v6 { &ROUTE6 } else { &ROUTE4 }
}
