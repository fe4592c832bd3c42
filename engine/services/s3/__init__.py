"""Amazon S3: the notifications of buckets that lie upstream, and buckets that are folders of this machine."""
