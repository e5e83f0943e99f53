//! What would be refused only when the lab is set up, tried before: `--check` finds it too, and its line is named.

use std::net::IpAddr;

use switchboard_engine::InterfaceConfig;
use switchboard_socket::{Host, HostConfig};

use super::super::super::sysctl;
use super::super::addresses::Subnet;
use super::super::plan::Plan;
use super::super::reader::{Result, Value};
use super::HOST;

/// fib_check_nh(): a router is a neighbour.
pub(super) fn routes(plan: &Plan, number: usize, value: &Value<'_>) -> Result<()> {
    let Some(value) = value.table(HOST)?.get("routes") else {
        return Ok(());
    };
    let host = &plan.hosts[number];
    // The subnet of a way out is known when it is opened.
    if host.outside.leads_out() {
        return Ok(());
    }
    let members = plan.networks.iter().flat_map(|network| &network.members);
    let own: Vec<(IpAddr, u8)> = members
        .filter(|member| member.host == number)
        .flat_map(|member| member.addresses.iter().copied())
        .collect();
    let values = value.one_or_more()?;
    for (value, route) in values.iter().zip(host.routes.iter().flatten()) {
        let near = |(addr, len): &(IpAddr, u8)| {
            let (addr, len) = (*addr, *len);
            Subnet { addr, len }.contains(route.gateway) && addr != route.gateway
        };
        let of_link = matches!(route.gateway, IpAddr::V6(a) if a.is_unicast_link_local());
        if !of_link && !own.iter().any(near) {
            let what = format!(
                "{} is on none of the host's networks, or is the host itself",
                route.gateway
            );
            return Err(value.problem(what));
        }
    }
    Ok(())
}

/// Each tunable is set on a host that is thrown away.
pub(super) fn sysctls(plan: &Plan, number: usize, value: &Value<'_>) -> Result<()> {
    let Some(values) = value.table(HOST)?.get("sysctl") else {
        return Ok(());
    };
    let host = &plan.hosts[number];
    let mut trial = Host::new(HostConfig::default());
    let members = plan.networks.iter().flat_map(|network| &network.members);
    let own = members.filter(|member| member.host == number).count();
    for n in 0..own + usize::from(host.outside.leads_out()) {
        let mtu = 1500;
        let name = format!("eth{n}");
        trial
            .stack_mut()
            .add_interface(InterfaceConfig { name, mtu });
    }
    for (name, value) in values.named()? {
        let words = value.words()?;
        sysctl::set(&mut trial, &name, &words).map_err(|what| value.problem(what))?;
    }
    Ok(())
}
