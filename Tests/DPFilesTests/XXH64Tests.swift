import DPFiles
import Testing

/// From python-xxhash 4.1.0 (xxHash 0.8.4), `xxh64_intdigest(text.encode())`; the first three stand
/// in xxHash's own documentation too.
@Test(
  arguments: [
    ("", 0xEF46_DB37_51D8_E999),
    ("a", 0xD24E_C4F1_A98C_6E5B),
    ("abc", 0x44BC_2CF5_AD77_0999),
    ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
  ] as [(String, UInt64)])
func textsHashAsPublished(text: String, hash: UInt64) {
  #expect(XXH64.hash(text) == hash)
}

/// From python-xxhash 4.1.0: bytes `(131 i + 7) mod 256`, lengths around every step of the
/// definition, seeds 0 and 42.
@Test(
  arguments: [
    (0, 0xEF46_DB37_51D8_E999, 0x98B1_582B_0977_E704),
    (1, 0xA96C_7F0C_E858_BBB7, 0xDA6D_A760_43D2_A83E),
    (2, 0xC22C_6A70_AD56_BBA6, 0x8C8B_96EA_2515_2398),
    (3, 0xBED4_3740_EE63_32BB, 0x68AD_F3D7_8E69_87C3),
    (4, 0xFA21_2AE4_4B3B_B23D, 0xFB3E_CE73_292E_B1ED),
    (5, 0xD339_DCC9_AC8E_6776, 0x74DE_1E0E_FAE1_36A4),
    (7, 0x2744_460D_D675_D2C0, 0x3755_095D_6E4D_66DA),
    (8, 0x994B_676B_71CE_94DD, 0x5190_1A87_D2F9_3E8E),
    (9, 0x572B_84C1_8B98_3AF8, 0x5ED0_F822_8D8E_D06F),
    (12, 0xB92F_588C_E720_786E, 0xFB91_EB6F_3CB2_EAA7),
    (15, 0x09E6_451E_D2FF_8B1D, 0x3303_1EA0_05A2_5BBD),
    (16, 0x94AD_0095_E72B_24D5, 0x9F7E_3563_8C44_2C07),
    (31, 0x6711_D55E_306B_5D8F, 0x7318_4629_5F5B_BA81),
    (32, 0x07F7_B8E3_BC5D_6E25, 0xF335_1B21_60D5_5903),
    (33, 0x09F8_5EEB_4E1C_BE9F, 0x70E7_8138_C9F3_5CA7),
    (39, 0xB13C_137A_0FB7_01C3, 0x0170_3A27_FF61_A76B),
    (40, 0xD251_5017_7BA4_6490, 0x5854_17E3_04B3_6DBF),
    (63, 0xB7C9_968C_066C_B6A5, 0x7244_B19D_B698_F5CD),
    (64, 0x50D4_159A_0411_632E, 0x404D_28E7_62D4_A07F),
    (65, 0xD277_176B_FF86_3EFC, 0x9169_1AFA_BB1A_E406),
    (100, 0x9DDA_DA11_D3DC_2D8F, 0x42C8_B9EB_F60E_6BA4),
    (1000, 0x0BF0_BDBC_C82E_B373, 0x07C8_5880_FC74_F7FF),
  ] as [(Int, UInt64, UInt64)])
func lengthsAroundEachStepHashAsPublished(count: Int, plain: UInt64, seeded: UInt64) {
  let bytes = (0..<count).map { UInt8(truncatingIfNeeded: 131 * $0 + 7) }
  #expect(XXH64.hash(bytes) == plain)
  #expect(XXH64.hash(bytes, seed: 42) == seeded)
}
