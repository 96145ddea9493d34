"""Zendesk Sell Sync: sessions in which a device drains what it has not acked."""
