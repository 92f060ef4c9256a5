"""Planning: what a campaign will do, what it did, whether it pays, and the papers that say so.

- `reports`: self-contained HTML and PDF, charts as inline SVG.
- `metrics`: rates and times of what campaigns did, as `docs/reports.md` defines them.
- `storms`: alert storms, what cures them, and whether it did.
- `evidence_pack`: all that is to be known of one campaign in one signed archive, verified offline.

Planning reads the store and rehearses in the lab; the service knows nothing of it.
"""
