"""CloudWatch Logs Insights: queries of log groups, in Logs Insights' own language."""
