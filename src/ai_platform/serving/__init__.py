"""What every face calls: who may, which version, is there room, what does it cost; predict or submit. No protocol."""
